/** Runs one job: reads its values, calls the stage's code, makes the report. */

import { create } from "@bufbuild/protobuf";

import { JobKind, type JobOffer } from "../gen/stageline/v1/job_pb.js";
import { type Report, ReportSchema } from "../gen/stageline/v1/report_pb.js";
import { Context, readConfig, type SessionPort } from "./context.js";
import { MisfitError, StoppedError, TransferError, transferred } from "./errors.js";
import { fetchOutputs } from "./outputs.js";
import { jsonOf, payloadOf } from "./payload.js";
import type { PayloadCalls } from "./payloads.js";
import { payloadIn, stageError } from "./reports.js";
import { type Stage, StillWaiting, Suspended } from "./stage.js";
import { decode, encode } from "./text.js";
import { duration, now } from "./time.js";

/** Runs a job, and returns its report; undefined for work that was stopped before its end. */
export async function execute(
  offer: JobOffer,
  stage: Stage,
  session: SessionPort,
  signal: AbortSignal,
): Promise<Report | undefined> {
  const began = now();
  const report = create(ReportSchema, { leaseToken: offer.leaseToken });
  try {
    const calls = session.payloads(offer.leaseToken);
    await transferred(calls.resolve([offer.runInput, offer.suspendedState], signal)); // What is stored apart (R103).
    const ctx = new Context(offer, session, readConfig(jsonOf(offer.config), stage.config), signal);
    const value = offer.kind === JobKind.CHECK ? await check(ctx, stage, offer) : await run(ctx, stage, offer, calls);
    report.outcome = outcomeOf(value, stage, offer, ctx);
    report.metrics = ctx.metrics;
    await storeApart(report, session, calls, signal);
  } catch (error) {
    const isSuperseded = error instanceof TransferError && error.isSuperseded;
    if (isSuperseded || (signal.aborted && isStop(error, signal))) {
      return undefined;
    }
    report.outcome = create(ReportSchema, { outcome: { case: "failed", value: { error: stageError(error) } } }).outcome;
  }
  report.activeDuration = duration(now() - began);
  return report;
}

function isStop(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || error instanceof StoppedError || (error instanceof Error && error.name === "AbortError");
}

/** Stores a report's value where it is too large for a message (R102); one over every limit stays, and is refused by `fittedReport`. */
async function storeApart(report: Report, session: SessionPort, calls: PayloadCalls, signal: AbortSignal): Promise<void> {
  const { terms } = session;
  const payload = payloadIn(report);
  if (terms !== undefined && payload?.body.case === "json" && payload.body.value.length <= terms.payloadBytesMax) {
    await transferred(calls.offload(payload, terms.inlinePayloadBytesMax, signal));
  }
}

async function run(ctx: Context<unknown>, stage: Stage, offer: JobOffer, calls: PayloadCalls): Promise<unknown> {
  const input = parsed("input", stage.input, decode(await buildInput(offer, calls, ctx.signal)));
  return await stage.run(ctx, input);
}

async function check(ctx: Context<unknown>, stage: Stage, offer: JobOffer): Promise<unknown> {
  if (stage.check === undefined) {
    throw new MisfitError("output", `stage ${stage.id} is suspended, but this version of it has no check`);
  }
  const text = jsonOf(offer.suspendedState);
  return await stage.check(ctx, parsed("input", stage.state, text === undefined ? {} : decode(text)));
}

function parsed(kind: "input", parse: (value: unknown) => unknown, value: unknown): unknown {
  try {
    return parse(value);
  } catch (cause) {
    throw new MisfitError(kind, `the ${kind} does not fit: ${String(cause)}`, { cause });
  }
}

/** Makes the stage's input of what the offer holds (R41), and fetches what it does not (R42). */
export async function buildInput(offer: JobOffer, calls: PayloadCalls, signal: AbortSignal): Promise<Uint8Array> {
  const ids = offer.inputStageIds;
  if (ids.length === 0) {
    return jsonOf(offer.runInput) ?? encode({});
  }
  const missing = ids.filter((id) => offer.outputs[id]?.body.case !== "json");
  const fetched = missing.length > 0 ? await transferred(fetchOutputs(calls, missing, signal)) : new Map();
  const textOf = (id: string): Uint8Array => jsonOf(offer.outputs[id]) ?? fetched.get(id) ?? encode(null);
  if (ids.length === 1 && ids[0] !== undefined) {
    return textOf(ids[0]);
  }
  const parts = ids.map((id) => `${JSON.stringify(id)}:${Buffer.from(textOf(id)).toString("utf8")}`);
  return Buffer.from(`{${parts.join(",")}}`, "utf8");
}

function outcomeOf(value: unknown, stage: Stage, offer: JobOffer, ctx: Context<unknown>): Report["outcome"] {
  const isCheck = offer.kind === JobKind.CHECK;
  if (value instanceof Suspended) {
    if (stage.check === undefined || isCheck) {
      throw new MisfitError("output", `stage ${stage.id} suspended, which only the code of an async stage may`);
    }
    return suspended(value, ctx);
  }
  if (value instanceof StillWaiting) {
    if (!isCheck) {
      throw new MisfitError("output", `stage ${stage.id} is still waiting, which only a check may say`);
    }
    const { nextCheckMs, state } = value.settings;
    const told = {
      ...(nextCheckMs === undefined ? {} : { nextCheckDelay: duration(nextCheckMs) }),
      ...(state === undefined ? {} : { state: payloadOf(encoded(state)) }),
    };
    return create(ReportSchema, { outcome: { case: "stillWaiting", value: told } }).outcome;
  }
  return create(ReportSchema, { outcome: { case: "completed", value: { output: payloadOf(encoded(value)) } } }).outcome;
}

function suspended({ settings }: Suspended, ctx: Context<unknown>): Report["outcome"] {
  const pollPolicy = {
    neverPoll: settings.neverPoll ?? false,
    ...(settings.pollIntervalMs === undefined ? {} : { pollInterval: duration(settings.pollIntervalMs) }),
    ...(settings.maxWaitMs === undefined ? {} : { waitMax: duration(settings.maxWaitMs) }),
    ...(settings.firstCheckMs === undefined ? {} : { firstCheckDelay: duration(settings.firstCheckMs) }),
  };
  const state = payloadOf(encoded(settings.state ?? {}));
  const value = { state, pollPolicy, resumeConditions: ctx.resumeConditions };
  return create(ReportSchema, { outcome: { case: "suspended", value } }).outcome;
}

function encoded(value: unknown): Uint8Array {
  try {
    return encode(value);
  } catch (cause) {
    throw new MisfitError("output", `the output does not fit: ${String(cause)}`, { cause });
  }
}
