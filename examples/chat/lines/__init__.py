"""The line mode: the chat for pipes and scripts."""
