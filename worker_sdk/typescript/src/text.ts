/** Text and JSON on their way to the server. */

import { randomBytes } from "node:crypto";

import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";

const ELLIPSIS = "…";
const encoder = new TextEncoder();

/** Makes text what protobuf and PostgreSQL store: without NUL and lone surrogates. */
export function cleanText(text: string): string {
  return Buffer.from(text, "utf8").toString("utf8").replaceAll("\0", "");
}

/** Shortens text to so many bytes of UTF-8, at a character, and says so. */
export function cut(text: string, bytesMax: number): string {
  const bytes = encoder.encode(text);
  if (bytes.length <= bytesMax) {
    return text;
  }
  let end = Math.max(0, bytesMax - encoder.encode(ELLIPSIS).length);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) {
    end--;
  }
  return Buffer.from(bytes.subarray(0, end)).toString("utf8") + ELLIPSIS;
}

/**
 * Writes a value as JSON text. `undefined` is null.
 *
 * @throws TypeError The value is not what JSON can show: a number that is not finite, a bigint, a cycle, a NUL character.
 */
export function encode(value: unknown): Uint8Array {
  const text = JSON.stringify(value === undefined ? null : value, (key, each: unknown) => {
    if (typeof each === "number" && !Number.isFinite(each)) {
      throw new TypeError(`${key || "the value"} is ${each}, which JSON cannot show`);
    }
    return each;
  });
  if (text === undefined || text.includes("\\u0000")) {
    throw new TypeError(text === undefined ? `JSON cannot show ${typeof value}` : "text has a NUL character");
  }
  return encoder.encode(text);
}

/** Reads JSON text. */
export function decode(text: Uint8Array): unknown {
  return JSON.parse(Buffer.from(text).toString("utf8"));
}

/** Writes the details of a log line; what JSON cannot show is told as text, what is too large is left out. */
export function fieldsJson(fields: Record<string, unknown> | undefined): Uint8Array {
  if (fields === undefined || Object.keys(fields).length === 0) {
    return new Uint8Array();
  }
  const shown = Object.entries(fields).map(([key, value]) => {
    try {
      encode(value);
      return [key, value];
    } catch {
      return [key, String(value)];
    }
  });
  const text = encode(Object.fromEntries(shown));
  const bytesMax = 16 * 1024;
  return text.length <= bytesMax ? text : encode({ fields_left_out: `${text.length} bytes, the limit is ${bytesMax}` });
}

/** Returns a UUID of version 7 in text form: its order is that of time. */
export function newUuid(): string {
  const id = randomBytes(16);
  id.writeUIntBE(Date.now(), 0, 6);
  id[6] = ((id[6] ?? 0) & 0x0f) | 0x70;
  id[8] = ((id[8] ?? 0) & 0x3f) | 0x80;
  const text = id.toString("hex");
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join("-");
}

export function timestampNow(): Timestamp {
  return timestampFromMs(Date.now());
}
