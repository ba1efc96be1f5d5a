/** One stream as seen from the worker: its numbers, and what goes into the next frame. */

import { create, toBinary } from "@bufbuild/protobuf";

import type { SessionEnd } from "../gen/stageline/v1/session_pb.js";
import { LogEntrySchema } from "../gen/stageline/v1/run_pb.js";
import type { DirectiveDone, WorkerFrame, WorkerItem } from "../gen/stageline/v1/worker_pb.js";
import { LogBatchSchema, ProgressSchema, WorkerFrameSchema, WorkerItemSchema } from "../gen/stageline/v1/worker_pb.js";
import type { Core } from "./core.js";
import type { HeldJob, KeptRecord } from "./jobs.js";
import type { Terms } from "./terms.js";
import { NEVER } from "./time.js";

/** How long the acknowledgement of an offer may wait for company: a quick job ends in the same frame. */
export const ACKNOWLEDGE_WITHIN_MS = 20;
/** How long a log line may wait for others. */
export const LOGS_WITHIN_MS = 50;
/** A heartbeat is sent this share of the interval after the last frame, so that it arrives within it. */
const HEARTBEAT_MARGIN = 0.8;

const FRAME_OVERHEAD_BYTES = 32;
const ITEM_OVERHEAD_BYTES = 8;
const BATCH_ENTRIES_MAX = 1000;

/** The worker's side of one stream. */
export class WorkerStream {
  terms: Terms | undefined;
  end: SessionEnd | undefined;
  received = 0;
  sent = 0;
  sentAt: number;
  acknowledgeAt = NEVER;
  logsAt = NEVER;
  isDrainTold = false;
  /** Answers to directives that are not sent yet. */
  done: DirectiveDone[] = [];

  constructor(
    readonly openedAt: number,
    /** What the server believes to be free: what it was told last, less the offers that came since (R30). */
    public creditsTold: number,
  ) {
    this.sentAt = openedAt;
  }

  get heartbeatAt(): number {
    return this.terms === undefined ? NEVER : this.sentAt + this.terms.heartbeatMs * HEARTBEAT_MARGIN;
  }

  seal(items: WorkerItem[], now: number): WorkerFrame {
    this.sent++;
    this.sentAt = now;
    this.acknowledgeAt = NEVER;
    return create(WorkerFrameSchema, {
      sequence: BigInt(this.sent),
      acknowledgedSequence: BigInt(this.received),
      items,
    });
  }
}

/** Collects the items of one frame (R14). */
class FramePacker {
  readonly items: WorkerItem[] = [];
  #itemsLeft: number;
  #bytesLeft: number;

  constructor(terms: Terms) {
    this.#itemsLeft = terms.frameItemsMax;
    this.#bytesLeft = terms.frameBytesMax - FRAME_OVERHEAD_BYTES;
  }

  /** How large the next item may be. */
  get room(): number {
    return this.#itemsLeft > 0 ? Math.max(0, this.#bytesLeft - ITEM_OVERHEAD_BYTES) : 0;
  }

  /** Adds an item, if there is room; the first is always taken, as no other frame would have more. */
  add(item: WorkerItem): boolean {
    const size = toBinary(WorkerItemSchema, item).length;
    if (this.items.length > 0 && size > this.room) {
      return false;
    }
    this.items.push(item);
    this.#itemsLeft--;
    this.#bytesLeft -= size + ITEM_OVERHEAD_BYTES;
    return true;
  }
}

/** Returns the next frame to send; undefined while there is nothing to say. */
export function nextFrame(core: Core, now: number): WorkerFrame | undefined {
  const { stream } = core;
  if (stream?.terms === undefined) {
    return undefined;
  }
  const packer = new FramePacker(stream.terms);
  packControl(core, stream, packer, now);
  const isAllSaid =
    packRecords(stream, packer, core.usage) &&
    core.jobs
      .all()
      .every((job) => !job.isHeld || job.awaitsVerdict || packRecords(stream, packer, job.annotations)) &&
    core.jobs.all().every((job) => packReport(job, packer));
  if (isAllSaid) {
    packProgress(core, packer, stream.terms, now);
    if (stream.logsAt <= now && core.jobs.all().every((job) => isSilent(job) || packLogs(job, packer))) {
      stream.logsAt = NEVER;
    }
  }
  const isPingDue = stream.acknowledgeAt <= now || stream.heartbeatAt <= now;
  return packer.items.length > 0 || isPingDue ? stream.seal(packer.items, now) : undefined;
}

/** Returns when there is something to be said, as far as only time decides it. */
export function nextFrameAt(core: Core): number {
  const { stream } = core;
  if (stream?.terms === undefined) {
    return NEVER;
  }
  const progressAt = core.jobs
    .all()
    .filter((job) => job.progress !== undefined && !job.awaitsVerdict)
    .map((job) => job.progressAt);
  return Math.min(stream.heartbeatAt, stream.acknowledgeAt, stream.logsAt, ...progressAt);
}

export function creditsItem(freeSlots: number): WorkerItem {
  return create(WorkerItemSchema, { item: { case: "credits", value: { freeSlots } } });
}

function isSilent(job: HeldJob): boolean {
  return job.report !== undefined || job.awaitsVerdict;
}

function packControl(core: Core, stream: WorkerStream, packer: FramePacker, now: number): void {
  if (core.drain !== undefined && !stream.isDrainTold) {
    const value = core.drain.message(now);
    stream.isDrainTold = packer.add(create(WorkerItemSchema, { item: { case: "drain", value } }));
  }
  const free = core.freeSlots;
  if (free !== stream.creditsTold && packer.add(creditsItem(free))) {
    stream.creditsTold = free;
  }
  for (let done = stream.done[0]; done !== undefined; done = stream.done[0]) {
    if (!packer.add(create(WorkerItemSchema, { item: { case: "directiveDone", value: done } }))) {
      return;
    }
    stream.done.shift();
  }
}

/** Adds records that are not on this stream yet; false when the frame is full before the last one. */
function packRecords(stream: WorkerStream, packer: FramePacker, records: KeptRecord[]): boolean {
  for (const record of records) {
    if (record.frame !== 0 || record.inReport) {
      continue;
    }
    if (!packer.add(record.item)) {
      return false;
    }
    record.frame = stream.sent + 1;
    record.index = packer.items.length - 1;
  }
  return true;
}

/** Adds a job's report, after what the job said: with the report its lease is over (R16). */
function packReport(job: HeldJob, packer: FramePacker): boolean {
  if (job.report === undefined || job.isReportSent || job.awaitsVerdict) {
    return true;
  }
  if (!packLogs(job, packer)) {
    return false;
  }
  job.isReportSent = packer.add(create(WorkerItemSchema, { item: { case: "report", value: job.report } }));
  return job.isReportSent;
}

function packProgress(core: Core, packer: FramePacker, terms: Terms, now: number): void {
  for (const job of core.jobs.all()) {
    if (job.progress === undefined || job.awaitsVerdict || job.progressAt > now) {
      continue;
    }
    const value = create(ProgressSchema, { leaseToken: job.token, progress: job.progress });
    if (!packer.add(create(WorkerItemSchema, { item: { case: "progress", value } }))) {
      return;
    }
    job.progress = undefined;
    job.progressAt = now + terms.progressMs;
  }
}

/** Adds a job's log lines; false when the frame is full before the last one (R90). */
function packLogs(job: HeldJob, packer: FramePacker): boolean {
  while (job.logs.length > 0 || job.droppedLogs > 0) {
    const batch = create(LogBatchSchema, { leaseToken: job.token, droppedCount: job.droppedLogs });
    const count = fitting(job, packer.room - toBinary(LogBatchSchema, batch).length - ITEM_OVERHEAD_BYTES);
    if (count === 0 && job.logs.length > 0) {
      if (packer.items.length > 0) {
        return false;
      }
      job.logs.shift(); // Larger than a whole frame.
      job.droppedLogs++;
      continue;
    }
    batch.entries = job.logs.slice(0, count);
    if (!packer.add(create(WorkerItemSchema, { item: { case: "logs", value: batch } }))) {
      return false;
    }
    job.logs = job.logs.slice(count);
    job.droppedLogs = 0;
  }
  return true;
}

function fitting(job: HeldJob, room: number): number {
  let left = room;
  let count = 0;
  for (const entry of job.logs) {
    left -= toBinary(LogEntrySchema, entry).length + ITEM_OVERHEAD_BYTES;
    if (left < 0 || count === BATCH_ENTRIES_MAX) {
      break;
    }
    count++;
  }
  return count;
}
