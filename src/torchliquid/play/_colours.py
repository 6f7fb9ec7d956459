"""Colours of pages and figures, by the names of their CSS variables."""

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "soft": "#59636e",
    "rule": "#d8dee4",
    "blue": "#0068b5",
    "green": "#00745a",
    "orange": "#c2410c",
    "gold": "#8a6100",
    "pink": "#a0397e",
    "slate": "#47505a",
    "grey": "#6b7280",
}
DARK = {
    "paper": "#14181d",
    "ink": "#e6edf3",
    "soft": "#a3adb8",
    "rule": "#343b44",
    "blue": "#5cb3ff",
    "green": "#38c79c",
    "orange": "#ff9055",
    "gold": "#d9ae3c",
    "pink": "#e58ac4",
    "slate": "#b9c3ce",
    "grey": "#98a4b0",
}
