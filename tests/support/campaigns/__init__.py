"""Campaigns: hostile input, kills and full disks by chance, for as long as somebody wants."""
