/** JSON values on the wire. */

import { create } from "@bufbuild/protobuf";

import { type Payload, PayloadSchema } from "../gen/stageline/v1/payload_pb.js";

/** Returns a payload's JSON text; undefined for one that is unset, or stored apart. */
export function jsonOf(payload: Payload | undefined): Uint8Array | undefined {
  return payload?.body.case === "json" && payload.body.value.length > 0 ? payload.body.value : undefined;
}

export function payloadOf(json: Uint8Array): Payload {
  return create(PayloadSchema, { body: { case: "json", value: json } });
}
