
"""insert.py NOTEBOOK BEFORE_PREFIX TEXT: put the cells of a text file before the cell that starts so."""
import sys,re,nbformat
path,before,text=sys.argv[1:4]
nb=nbformat.read(path,4)
new=[]
for part in re.split(r'^%%% ', open(text).read(), flags=re.M)[1:]:
    kind, body = part.split('\n',1)
    new.append((nbformat.v4.new_markdown_cell if kind.strip()=='md' else nbformat.v4.new_code_cell)(body.strip('\n')))
at=[i for i,c in enumerate(nb.cells) if c['source'].startswith(before)]
assert len(at)==1, at
nb.cells[at[0]:at[0]]=new
for n,c in enumerate(nb.cells,1): c['id']=f'cell-{n:02d}'
nbformat.write(nb,path)
