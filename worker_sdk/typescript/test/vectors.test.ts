/** protos/testdata says what every language makes of a frame, and of an offer's input. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import { create, fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";

import { JobOfferSchema } from "../gen/stageline/v1/job_pb.js";
import { ServerFrameSchema, WorkerFrameSchema } from "../gen/stageline/v1/worker_pb.js";
import { buildInput } from "../src/execute.js";
import { PayloadCalls } from "../src/payloads.js";
import { payloadOf } from "../src/payload.js";
import { decode, encode } from "../src/text.js";

function casesOf<Case>(name: string): Case[] {
  // From dist/test, where this file runs.
  const text = readFileSync(new URL(`../../../../protos/testdata/${name}`, import.meta.url), "utf8");
  const { cases } = JSON.parse(text) as { cases: Case[] };
  assert.ok(cases.length > 0);
  return cases;
}

describe("a frame is read from its bytes", () => {
  for (const each of casesOf<{ name: string; message: string; hex: string; json: JsonValue }>("frames.json")) {
    it(each.name, () => {
      const schema = each.message === "WorkerFrame" ? WorkerFrameSchema : ServerFrameSchema;
      assert.deepEqual(toJson(schema, fromBinary(schema, Buffer.from(each.hex, "hex"))), each.json);
    });
  }
});

interface InputCase {
  name: string;
  accepts_any_input: boolean;
  input_stage_ids: string[];
  run_input?: unknown;
  outputs: Record<string, unknown>;
  input: unknown;
}

describe("an input is assembled", () => {
  // Stages that declare no input of their own do not exist in this SDK.
  for (const each of casesOf<InputCase>("input_assembly.json").filter((one) => !one.accepts_any_input)) {
    it(each.name, async () => {
      const offer = create(JobOfferSchema, { inputStageIds: each.input_stage_ids });
      for (const [id, output] of Object.entries(each.outputs)) {
        offer.outputs[id] = payloadOf(encode(output));
      }
      if ("run_input" in each) {
        offer.runInput = payloadOf(encode(each.run_input));
      }
      const calls = new PayloadCalls(() => assert.fail(), "");
      assert.deepEqual(decode(await buildInput(offer, calls, new AbortController().signal)), each.input);
    });
  }
});
