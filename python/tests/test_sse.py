import unittest

from brainjar.errors import BrainjarError
from brainjar.sse import MAX_LINE, Message, Parser

STREAM = (
    ": hello\n\nid: 3\n\ndata: one\n\nevent: error\nid: 7\ndata: äöü\ndata:  two\r\n\r\n"
    "event: nothing\n\nunknown: x\ndata\n\n"
).encode()

WANT = [Message("message", "one", "3"), Message("error", "äöü\n two", "7"), Message("message", "", "7")]


class ParserTest(unittest.TestCase):
    def test_stream_cut_anywhere(self) -> None:
        for size in range(1, len(STREAM) + 1):
            parser = Parser()
            got = [
                message
                for start in range(0, len(STREAM), size)
                for message in parser.feed(STREAM[start : start + size])
            ]
            self.assertEqual(got, WANT, f"in pieces of {size} bytes")
            self.assertEqual(parser.last_id, "7")

    def test_unfinished_message_is_none(self) -> None:
        self.assertEqual(list(Parser().feed(b"data: one\n")), [])

    def test_endless_line_is_refused(self) -> None:
        parser = Parser()
        with self.assertRaisesRegex(BrainjarError, "more than"):
            for _ in range(MAX_LINE // 65536 + 1):
                list(parser.feed(b"x" * 65536))

    def test_what_is_no_text(self) -> None:
        (message,) = Parser().feed(b"data: \xff\xfe\n\n")
        self.assertEqual(message.data, "\ufffd\ufffd")
