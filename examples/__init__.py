"""Programs that show framerpc at work; each is run by a test."""
