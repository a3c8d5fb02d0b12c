"""From plans to judged files in a folder."""
