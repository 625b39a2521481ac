"""Talks to titan-lsp-server as an editor does, and prints the diagnostics of one document.

    lsp-client.py FILE.mlir      one line per diagnostic: LINE:COLUMN: MESSAGE, counted from 1
"""

import json
import pathlib
import subprocess
import sys

SECONDS = 120


def packet(message):
    """A JSON-RPC message in the protocol's framing."""
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def messages(output):
    """The messages that the server wrote."""
    while output:
        header, _, rest = output.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in header.split(b"\r\n"))
        length = int(fields[b"Content-Length"])
        yield json.loads(rest[:length])
        output = rest[length:]


def main():
    path = pathlib.Path(sys.argv[1]).resolve()
    document = {"uri": path.as_uri(), "languageId": "mlir", "version": 1, "text": path.read_text()}
    session = [
        {"id": 1, "method": "initialize", "params": {"processId": None, "rootUri": None, "capabilities": {}}},
        {"method": "initialized", "params": {}},
        {"method": "textDocument/didOpen", "params": {"textDocument": document}},
        {"id": 2, "method": "shutdown", "params": None},
        {"method": "exit", "params": None},
    ]
    server = subprocess.run(
        ["titan-lsp-server"],
        input=b"".join(packet(message) for message in session),
        stdout=subprocess.PIPE,
        timeout=SECONDS,
    )
    answers = list(messages(server.stdout))
    if server.returncode:
        sys.exit(f"titan-lsp-server: exit status {server.returncode}")
    if not any(answer.get("id") == 1 and "capabilities" in answer.get("result", {}) for answer in answers):
        sys.exit(f"no answer to initialize among {answers}")
    published = [a["params"] for a in answers if a.get("method") == "textDocument/publishDiagnostics"]
    if not published:
        sys.exit(f"no diagnostics among {answers}")
    for diagnostic in published[-1]["diagnostics"]:
        start = diagnostic["range"]["start"]
        print(f"{start['line'] + 1}:{start['character'] + 1}: {diagnostic['message']}")
    print(f"{len(published[-1]['diagnostics'])} diagnostics")


if __name__ == "__main__":
    main()
