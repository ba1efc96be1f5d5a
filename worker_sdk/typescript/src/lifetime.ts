/** What a worker does as time passes: silence, cutting off, draining. */

import { create } from "@bufbuild/protobuf";

import { ReturnReason } from "../gen/stageline/v1/report_pb.js";
import { type Drain, DrainSchema } from "../gen/stageline/v1/session_pb.js";
import type { Core } from "./core.js";
import { returnedReport } from "./reports.js";
import { duration, NEVER } from "./time.js";

/** How long a server may take for its first Welcome, which tells all other times (R23). */
const WELCOME_WITHIN_MS = 20_000;
/** The shares of a drain's time: until jobs are told to stop, until those that go on are handed back all the same. */
const STOP_SHARE = 0.8;
const CUT_OFF_SHARE = 0.95;

/** The times of the worker's own end (R80 to R82). */
export class WorkerDrain {
  readonly stopAt: number;
  readonly cutOffAt: number;
  readonly overAt: number;

  constructor(withinMs: number, now: number) {
    this.stopAt = now + withinMs * STOP_SHARE;
    this.cutOffAt = now + withinMs * CUT_OFF_SHARE;
    this.overAt = now + withinMs;
  }

  message(now: number): Drain {
    return create(DrainSchema, { deadline: duration(Math.max(0, this.overAt - now)), reason: "the worker ends" });
  }
}

/** Takes nothing new, and finishes or hands back what is held within a time. Another call may only shorten it. */
export function beginDrain(core: Core, withinMs: number, now: number): void {
  const drain = new WorkerDrain(withinMs, now);
  if (core.drain === undefined || drain.overAt < core.drain.overAt) {
    core.drain = drain;
  }
}

/** Whether the worker wants to end, and nothing is owed any more or the time for it is over. */
export function isDrained(core: Core, now: number): boolean {
  if (core.drain === undefined) {
    return false;
  }
  const owes = core.jobs.size > 0 || core.usage.length > 0 || (core.stream?.done.length ?? 0) > 0;
  return !owes || now >= core.drain.overAt;
}

/** Does what is due. */
export function tick(core: Core, now: number): void {
  stopForDrain(core, now);
  cutOff(core, now);
  noticeSilence(core, now);
  leaveDrainingServer(core, now);
}

/** Returns when `tick` has something to do, if nothing happens before. */
export function nextTickAt(core: Core): number {
  const times = [silentAt(core), leasesLostAt(core), core.leavingUntil, core.drain?.overAt ?? NEVER];
  for (const job of core.jobs.all()) {
    if (job.isWorking && !job.isCutOff) {
      times.push(job.cutOffAt);
    }
    if (core.drain !== undefined && job.isWorking && job.stop === undefined) {
      times.push(core.drain.stopAt);
    }
  }
  return Math.min(...times);
}

function stopForDrain(core: Core, now: number): void {
  if (core.drain === undefined || now < core.drain.stopAt) {
    return;
  }
  for (const job of core.jobs.all()) {
    if (job.isWorking && job.stop === undefined) {
      job.stop = "drain";
      job.cutOffAt = core.drain.cutOffAt;
      core.host.stopJob(job.token, "the worker ends");
    }
  }
}

/** Gives up on work that was told to stop and goes on: a promise cannot be ended. */
function cutOff(core: Core, now: number): void {
  for (const job of core.jobs.all()) {
    if (!job.isWorking || job.isCutOff || now < job.cutOffAt) {
      continue;
    }
    job.isCutOff = true;
    if (job.stop === "directive") {
      core.directiveDone(job.token, false);
    } else {
      core.keepReport(job, returnedReport(job.token, ReturnReason.DRAINING, "it could not be stopped", true));
    }
  }
}

/** Leaves a stream on which nothing was heard (R21), and stops work whose leases are lost (R22). */
function noticeSilence(core: Core, now: number): void {
  if (now >= silentAt(core)) {
    core.host.leaveStream("the server was silent for too long");
  }
  if (now < leasesLostAt(core)) {
    return;
  }
  core.heardAt = undefined;
  for (const job of core.jobs.all()) {
    if (job.isWorking && job.stop === undefined) {
      job.stop = "lease-lost";
      core.host.warn(`${job.title} is stopped: the server was not heard for the session's timeout`);
      core.host.stopJob(job.token, "the server was not heard for the session's timeout");
    }
  }
}

function silentAt(core: Core): number {
  const { stream } = core;
  if (stream === undefined) {
    return NEVER;
  }
  if (stream.terms === undefined) {
    // No longer than the server waits for us: a later Welcome may offer jobs that were handed on since.
    return stream.openedAt + Math.min(WELCOME_WITHIN_MS, core.terms?.sessionTimeoutMs ?? WELCOME_WITHIN_MS);
  }
  return Math.max(stream.openedAt, core.heardAt ?? 0) + stream.terms.sessionTimeoutMs;
}

function leasesLostAt(core: Core): number {
  return core.heardAt === undefined || core.terms === undefined ? NEVER : core.heardAt + core.terms.sessionTimeoutMs;
}

/** Leaves a server that drains, once nothing is held or its time is over (R83, R84). */
function leaveDrainingServer(core: Core, now: number): void {
  if (core.leaving === undefined || core.stream === undefined || (core.jobs.size > 0 && now < core.leavingUntil)) {
    return;
  }
  const drain = core.leaving;
  core.leaving = undefined;
  core.leavingUntil = NEVER;
  core.host.leaveStream("the server drains", drain);
}
