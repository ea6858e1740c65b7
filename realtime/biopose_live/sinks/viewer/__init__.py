"""The browser viewer: live video over WebRTC (WHEP signalling), poses beside it, one page, all from one thread.

Back-pressure: none is passed on.  Pictures and poses wait nowhere: each viewer has a short queue of its own, and one
that does not keep up loses messages alone.  Nothing is encoded while nobody watches.
"""
