"""Print the chat's terminal client as a picture (SVG), as it looks in the second of its rooms.

CHAT_TOKEN=… python -m tests.browser.picture URL
"""

from __future__ import annotations

import asyncio
import os
import re
import sys

from examples.chat.terminal.app import ChatApp


async def picture(url: str, token: str) -> str:
    """Open the chat, go to a room, and return what is on the screen."""
    app = ChatApp(url, token)
    async with asyncio.timeout(20), app.run_test(size=(110, 34)) as pilot:
        while app.session is None or len(app.session.model.rooms) < 2:
            await pilot.pause(0.05)
        await pilot.press("alt+2")
        await pilot.pause(1)  # nothing tells when pictures have been drawn
        return app.export_screenshot(title="chat")


def main() -> None:
    """Print it, without the fonts that a browser would fetch from elsewhere."""
    drawn = asyncio.run(picture(sys.argv[1], os.environ["CHAT_TOKEN"]))
    sys.stdout.write(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))


if __name__ == "__main__":
    main()
