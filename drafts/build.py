"""Build a notebook from a text file: cells parted by lines '%%% md' / '%%% code'."""
import sys, re, nbformat
src, out = sys.argv[1:3]
cells=[]
for part in re.split(r'^%%% ', open(src).read(), flags=re.M)[1:]:
    kind, body = part.split('\n',1)
    body=body.strip('\n')
    c=(nbformat.v4.new_markdown_cell if kind.strip()=='md' else nbformat.v4.new_code_cell)(body)
    cells.append(c)
for i,c in enumerate(cells,1): c['id']=f'cell-{i:02d}'
nb=nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec":{"display_name":"Python 3 (ipykernel)","language":"python","name":"python3"},"language_info":{"name":"python"}})
nbformat.write(nb,out)
