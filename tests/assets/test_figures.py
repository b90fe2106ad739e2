"""What assets show in the UI is Markdown, whatever their words hold."""

from assets import figures


def test_marks_and_line_breaks_in_a_cell_end_neither_cell_nor_row() -> None:
    shown = figures.reasons({"a > 1 | b > 1": "not in\nthe file"}).md_str
    assert shown.splitlines() == [
        "| left out | why |",
        "| --- | --- |",
        "| a > 1 \\| b > 1 | not in the file |",
    ]
