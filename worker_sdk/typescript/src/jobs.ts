/** The jobs that a worker holds, and what is owed for them. */

import type { Report } from "../gen/stageline/v1/report_pb.js";
import type { LogEntry, StageProgress } from "../gen/stageline/v1/run_pb.js";
import type { WorkerItem } from "../gen/stageline/v1/worker_pb.js";
import { NEVER } from "./time.js";

/**
 * Why local work is being stopped; it decides what the server is told when it has ended.
 *
 * - directive: the server said so, and waits for DirectiveDone (R70)
 * - dropped: the lease is gone, and the server knows: nothing is owed (R67)
 * - lease-lost: the server was not heard for the session's timeout: what comes of the work is still reported (R22)
 * - drain: the worker ends: the job is handed back (R81)
 */
export type StopCause = "directive" | "dropped" | "lease-lost" | "drain";

/** An item that is kept until the server has it. */
export interface KeptRecord {
  id: string;
  item: WorkerItem;
  /** The frame and place where it was sent on this stream; 0 where it was not. */
  frame: number;
  index: number;
  /** It rides in a report, and is not sent by itself any more. */
  inReport: boolean;
}

export class HeldJob {
  isWorking = true;
  stop: StopCause | undefined;
  /** When local work that is being stopped is given up on. */
  cutOffAt = NEVER;
  isCutOff = false;
  /** What is to be reported, until it is acknowledged, and whether it is on this stream. */
  report: Report | undefined;
  isReportSent = false;
  awaitsVerdict = false;
  annotations: KeptRecord[] = [];
  logs: LogEntry[] = [];
  droppedLogs = 0;
  progress: StageProgress | undefined;
  progressAt = 0;

  constructor(
    readonly token: Uint8Array,
    readonly title: string,
  ) {}

  /** Whether the lease is still ours, as far as we know, and so is named at the next Hello (R64). */
  get isHeld(): boolean {
    return (this.stop !== "directive" && this.stop !== "dropped") || this.report !== undefined;
  }
}

/** All jobs of a worker, in the order of their offers. */
export class JobTable {
  readonly #jobs = new Map<string, HeldJob>();

  constructor(readonly slots: number) {}

  get size(): number {
    return this.#jobs.size;
  }

  get freeSlots(): number {
    let working = 0;
    for (const job of this.#jobs.values()) {
      working += job.isWorking ? 1 : 0;
    }
    return Math.max(0, this.slots - working);
  }

  get(token: Uint8Array): HeldJob | undefined {
    return this.#jobs.get(keyOf(token));
  }

  add(token: Uint8Array, title: string): HeldJob {
    const job = new HeldJob(token, title);
    this.#jobs.set(keyOf(token), job);
    return job;
  }

  /** Nothing is owed for this job any more. */
  forget(job: HeldJob): void {
    job.isWorking = false;
    if (this.get(job.token) === job) {
      this.#jobs.delete(keyOf(job.token));
    }
  }

  /** The jobs as they are now: they may be forgotten while one goes through them. */
  all(): HeldJob[] {
    return [...this.#jobs.values()];
  }
}

export function keyOf(token: Uint8Array): string {
  return Buffer.from(token).toString("base64");
}
