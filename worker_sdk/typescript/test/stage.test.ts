/** Stages from their input to their report. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { create } from "@bufbuild/protobuf";

import { FailureKind, type StageError } from "../gen/stageline/v1/failure_pb.js";
import { JobOfferSchema } from "../gen/stageline/v1/job_pb.js";
import type { Report } from "../gen/stageline/v1/report_pb.js";
import { execute } from "../src/execute.js";
import { FinalError, remote, stage, type Stage, StoppedError, Suspended, Worker, workflow } from "../src/index.js";
import { payloadOf } from "../src/payload.js";
import { PayloadCalls } from "../src/payloads.js";
import { cut, encode, newUuid } from "../src/text.js";
import { Backoff } from "../src/time.js";

const session = { say: () => {}, payloads: () => new PayloadCalls(() => assert.fail(), ""), terms: undefined };

function executed(stage: Stage, input: unknown, signal = new AbortController().signal): Promise<Report | undefined> {
  return execute(create(JobOfferSchema, { runInput: payloadOf(encode(input)) }), stage, session, signal);
}

async function failure(stage: Stage, input: unknown): Promise<StageError> {
  const outcome = (await executed(stage, input))?.outcome;
  assert.equal(outcome?.case, "failed");
  assert.ok(outcome.case === "failed" && outcome.value.error);
  return outcome.value.error;
}

describe("failures", () => {
  it("name the error's own class, with its stack", async () => {
    class TooLong extends FinalError {}
    const run = () => {
      throw new TooLong("no page");
    };
    const told = await failure(stage("fail", { run }), {});
    assert.deepEqual([told.type, told.message, told.retryable], ["TooLong", "no page", false]);
    assert.match(told.stackTrace, /stage\.test/);
  });

  it("may be thrown values of any kind", async () => {
    const told = await failure(stage("odd", { run: () => Promise.reject("plain text") }), {});
    assert.equal(told.message, "plain text");
  });

  it("of the input are final, and the code is not called", async () => {
    const input = (value: unknown) => {
      throw new TypeError(`no text: ${String(value)}`);
    };
    const told = await failure(stage("typed", { input, run: assert.fail }), 7);
    assert.deepEqual([told.kind, told.retryable], [FailureKind.INVALID_INPUT, false]);
  });

  it("of the output name what JSON cannot show", async () => {
    for (const output of [Number.NaN, { deep: [Number.POSITIVE_INFINITY] }, 1n, "a\0b", () => 1]) {
      const told = await failure(stage("odd", { run: () => output }), {});
      assert.equal(told.kind, FailureKind.INVALID_OUTPUT);
    }
  });

  it("meet a suspension of a stage that is not async", async () => {
    const told = await failure(stage("sync", { run: () => new Suspended() }), {});
    assert.equal(told.kind, FailureKind.INVALID_OUTPUT);
  });
});

it("work that was stopped has no report", async () => {
  const cancel = new AbortController();
  cancel.abort(new StoppedError("the run was cancelled"));
  const run = (ctx: { signal: AbortSignal }) => ctx.signal.throwIfAborted();
  assert.equal(await executed(stage("slow", { run }), {}, cancel.signal), undefined);
});

it("an output of nothing is null", async () => {
  const outcome = (await executed(stage("silent", { run: () => undefined }), {}))?.outcome;
  assert.ok(outcome?.case === "completed" && outcome.value.output?.body.case === "json");
  assert.equal(Buffer.from(outcome.value.output.body.value).toString(), "null");
});

it("text is cut at a character", () => {
  for (let size = 3; size < 12; size++) {
    const short = cut("üüüüüüüü", size);
    assert.ok(Buffer.byteLength(short) <= size && short.endsWith("…") && !short.includes("\ufffd"), short);
  }
  assert.equal(cut("ü", 2), "ü");
});

it("waits between tries grow and stay within their bounds", () => {
  const backoff = new Backoff();
  const waits = Array.from({ length: 200 }, () => backoff.next());
  waits.forEach((wait, index) => assert.ok(wait >= 0 && wait <= Math.min(30_000, 200 * 2 ** Math.min(index, 30))));
  assert.ok(Math.max(...waits) > 1_000);
  assert.ok(backoff.next(1) <= 1);
});

it("ids are UUIDs of version 7", () => {
  assert.match(newUuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(newUuid(), newUuid());
});

it("workflows are checked before the server does", () => {
  const one = stage("a", { run: () => 1 });
  for (const each of [workflow("empty"), workflow("twice").pipe(one).pipe(one), remote("none")]) {
    assert.throws(() => new Worker({ workflows: [each] }), TypeError);
  }
  assert.throws(() => new Worker({ workflows: [workflow("fine").pipe(one)], slots: 0 }), RangeError);
});
