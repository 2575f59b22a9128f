// As sign.py beside it, for vendors whose libraries are JavaScript. Run from the folder of node_modules:
// `node --input-type=module --eval "$(cat sign.mjs)"`.

import { generateKeyPairSync } from "node:crypto";
import readline from "node:readline";

import { sign as signGithub, verify as verifyGithub } from "@octokit/webhooks-methods";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import sendgrid from "@sendgrid/eventwebhook";
import Pusher from "pusher";
import Token from "pusher/lib/token.js";
import ecdsa from "starkbank-ecdsa";

const SENDGRID = "x-twilio-email-event-webhook";

const SIGN = {
  async github({ key, body }) {
    return { "x-hub-signature-256": await signGithub(key, body) };
  },
  async sendgrid({ key, body, time }) {
    const signature = ecdsa.Ecdsa.sign(`${time}${body}`, ecdsa.PrivateKey.fromPem(key));
    return { [`${SENDGRID}-timestamp`]: `${time}`, [`${SENDGRID}-signature`]: signature.toBase64() };
  },
  async pusher({ key, body }) {
    return { "x-pusher-key": "app", "x-pusher-signature": new Token("app", key).sign(body) };
  },
};

const VERIFY = {
  github: ({ key, body, headers }) => verifyGithub(key, body, headers["x-hub-signature-256"]),
  linear: ({ key, body, headers }) =>
    new LinearWebhookClient(key).verify(Buffer.from(body), headers["linear-signature"]),
  async sendgrid({ key, body, headers }) {
    const webhook = new sendgrid.EventWebhook();
    const signature = headers[`${SENDGRID}-signature`];
    const time = headers[`${SENDGRID}-timestamp`];
    return webhook.verifySignature(webhook.convertPublicKeyToECDSA(key), body, signature, time);
  },
  async pusher({ key, body, headers }) {
    const pusher = new Pusher({ appId: "1", key: "app", secret: key });
    const all = { ...headers, "x-pusher-key": "app", "content-type": "application/json" };
    return pusher.webhook({ headers: all, rawBody: body }).isValid();
  },
};

async function decided(asked) {
  const verify = VERIFY[asked.vendor];
  try {
    return Boolean(await verify(asked));
  } catch (refusal) {
    console.error(`${asked.vendor} refused: ${refusal}`);
    return false;
  }
}

// A pair in the forms that the library, `dispatcher sign` and a receiver take.
function keys() {
  const pair = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const der = (key, type) => key.export({ format: "der", type }).toString("base64");
  return {
    private: pair.privateKey.export({ format: "pem", type: "sec1" }),
    pkcs8: der(pair.privateKey, "pkcs8"),
    public: der(pair.publicKey, "spki"),
  };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const answer =
    asked.op === "sign"
      ? { headers: await SIGN[asked.vendor](asked) }
      : asked.op === "keys"
        ? keys()
        : { valid: await decided(asked) };
  console.log(JSON.stringify(answer));
}
