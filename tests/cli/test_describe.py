"""`describe`: a row a layer, and totals."""

from labutils.cli.main import main


def test_describe_shows_layers_and_totals(capsys):
    assert main("describe --data digits --depth 4 --width 10".split()) == 0
    head, *rows, total = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["layer", "kind", "output", "parameters", "multiply-adds"]
    assert [row[1:] for row in rows] == [
        ["Linear", "10", "7,850", "7,840"],
        ["Linear", "10", "110", "100"],
        ["Linear", "10", "110", "100"],
        ["Linear", "10", "110", "100"],
    ]
    assert total == ["total", "8,180", "8,140"]
