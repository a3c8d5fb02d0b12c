"""Unattended rebuilds: every recipe, every night, compared with the last good one."""
