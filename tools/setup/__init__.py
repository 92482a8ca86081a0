"""Installs everything that the project needs; standard library only."""
