"""What this report trains, tabulates, draws and says: a chapter a folder."""
