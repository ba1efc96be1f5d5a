/** JSON values on the wire. */

import { create } from "@bufbuild/protobuf";

import { type Payload, PayloadSchema } from "../gen/stageline/v1/payload_pb.js";

/**
 * Returns a payload's JSON text; undefined for one that is unset.
 *
 * @throws Error It is stored apart.
 */
export function jsonOf(payload: Payload | undefined, what: string): Uint8Array | undefined {
  if (payload?.body.case === "reference") {
    throw new Error(
      `the ${what} has ${payload.body.value.sizeBytes} bytes and is stored apart, which this version of the SDK cannot fetch`,
    );
  }
  return payload?.body.case === "json" && payload.body.value.length > 0 ? payload.body.value : undefined;
}

export function payloadOf(json: Uint8Array): Payload {
  return create(PayloadSchema, { body: { case: "json", value: json } });
}
