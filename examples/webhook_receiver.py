"""A receiver of callmood's webhooks, as small as one can be: verifies, forgets doubles, prints.

pip install standardwebhooks
CALLMOOD_WEBHOOK_SECRET="$(cat secret)" python examples/webhook_receiver.py 8080
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook, seen = Webhook(os.environ["CALLMOOD_WEBHOOK_SECRET"].strip()), set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = webhook.verify(body, dict(self.headers))  # the bytes as they came, not parsed and written anew
        except WebhookVerificationError as error:
            return self.send_error(401, str(error))
        if self.headers["webhook-id"] not in seen:  # a delivery comes at least once: keep ids as long as matters to you
            seen.add(self.headers["webhook-id"])
            print(event["type"], event["data"], flush=True)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
