/**
 * The worker's side of a session as a state machine without I/O: frames and times in, frames and calls out. It survives its
 * streams: what a worker owes the server is kept here until the server has it.
 */

import { create, toBinary } from "@bufbuild/protobuf";

import { AnnotationEntrySchema } from "../gen/stageline/v1/annotation_pb.js";
import { ErrorReason } from "../gen/stageline/v1/error_pb.js";
import { JobKind, type JobOffer } from "../gen/stageline/v1/job_pb.js";
import {
  type Report,
  type ReportAcknowledgement,
  ReportDisposition,
  ReturnReason,
} from "../gen/stageline/v1/report_pb.js";
import type { Drain, Hello, HeldLeaseVerdict, SessionEnd, Welcome, WorkerStages } from "../gen/stageline/v1/session_pb.js";
import { HeldLeaseSchema, HelloSchema, LeaseVerdict } from "../gen/stageline/v1/session_pb.js";
import {
  type Directive,
  DirectiveAction,
  DirectiveDoneSchema,
  type ItemError,
  type ServerFrame,
  StopReason,
  type WorkerFrame,
  WorkerItemSchema,
} from "../gen/stageline/v1/worker_pb.js";
import { ACKNOWLEDGE_WITHIN_MS, creditsItem, LOGS_WITHIN_MS, WorkerStream } from "./frames.js";
import { type HeldJob, JobTable, type KeptRecord } from "./jobs.js";
import type { WorkerDrain } from "./lifetime.js";
import { fittedReport, returnedReport } from "./reports.js";
import { LogBucket, type Said } from "./speech.js";
import { type Terms, termsOf } from "./terms.js";
import { cut } from "./text.js";
import { milliseconds, NEVER } from "./time.js";

/** How long a job that the server wants stopped may go on, where the server sets no deadline (R71). */
const STOP_WITHIN_MS = 10_000;
/** Lines of one job that wait for a connection; beyond, they are dropped and counted. */
const BUFFERED_ENTRIES_MAX = 10_000;
/** Annotations that ride in one report, and their size: beside them it must have room for an output. */
const IN_REPORT_MAX = 100;
const IN_REPORT_BYTES_MAX = 256 * 1024;

/** Does what the state machine asks for. */
export interface Host {
  startJob(offer: JobOffer): void;
  stopJob(token: Uint8Array, reason: string): void;
  leaveStream(reason: string, drain?: Drain): void;
  knows(offer: JobOffer): boolean;
  warn(text: string): void;
}

/** The server broke the framing: the stream is of no use any more (R11). */
export class FramingError extends Error {
  override name = "FramingError";
}

export class Core {
  readonly jobs: JobTable;
  usage: KeptRecord[] = [];
  sessionId = "";
  terms: Terms | undefined;
  stream: WorkerStream | undefined;
  heardAt: number | undefined;
  drain: WorkerDrain | undefined;
  /** The server's Drain on this stream, and when its time is over. */
  leaving: Drain | undefined;
  leavingUntil = NEVER;
  readonly #bucket = new LogBucket();
  readonly #profile: Hello;

  constructor(
    profile: Hello,
    readonly host: Host,
  ) {
    this.#profile = profile;
    this.jobs = new JobTable(profile.slots);
  }

  get freeSlots(): number {
    return this.drain === undefined ? this.jobs.freeSlots : 0;
  }

  /** Begins a stream, and returns its first frame (R2, R3). */
  openStream(stages: WorkerStages[], now: number): WorkerFrame {
    this.leaving = undefined;
    this.leavingUntil = NEVER;
    const held = this.jobs.all().filter((job) => job.isHeld);
    for (const job of held) {
      job.awaitsVerdict = true;
      job.isReportSent = false;
    }
    for (const record of [...this.usage, ...held.flatMap((job) => job.annotations)]) {
      record.frame = 0;
    }
    const hello = create(HelloSchema, {
      ...this.#profile,
      stages,
      resumeSessionId: this.sessionId,
      heldLeases: held.map((job) =>
        create(HeldLeaseSchema, { leaseToken: job.token, unacknowledgedReport: job.report !== undefined }),
      ),
    });
    this.stream = new WorkerStream(now, this.freeSlots);
    const first = create(WorkerItemSchema, { item: { case: "hello", value: hello } });
    return this.stream.seal([first, creditsItem(this.freeSlots)], now);
  }

  /** The stream is over; returns the server's last word, if it said one. Leases go on. */
  closeStream(): SessionEnd | undefined {
    const end = this.stream?.end;
    this.stream = undefined;
    return end;
  }

  /** The session belongs to another stream now: stop everything, and start anew at the next one (R86). */
  abandonSession(): void {
    this.sessionId = "";
    for (const job of this.jobs.all()) {
      this.#drop(job, "the session goes on elsewhere");
    }
  }

  /**
   * Deals with a frame of the server.
   *
   * @throws FramingError The server broke the framing.
   */
  receive(frame: ServerFrame, now: number): void {
    const { stream } = this;
    if (stream === undefined) {
      return;
    }
    if (Number(frame.sequence) !== stream.received + 1) {
      throw new FramingError(`frame ${frame.sequence} came after frame ${stream.received}`);
    }
    const first = frame.items[0]?.item.case;
    if (stream.terms === undefined && first !== "welcome" && first !== "sessionEnd") {
      throw new FramingError("the server's first item is no Welcome");
    }
    stream.received++;
    this.heardAt = now;
    for (const { item } of frame.items) {
      switch (item.case) {
        case "welcome":
          this.#onWelcome(stream, item.value, now);
          break;
        case "offer":
          this.#onOffer(stream, item.value, now);
          break;
        case "reportAcknowledgement":
          this.#onAcknowledgement(item.value);
          break;
        case "directive":
          this.#onDirective(item.value, now);
          break;
        case "heldLeaseVerdict":
          this.#onVerdict(item.value);
          break;
        case "error":
          this.#onItemError(item.value);
          break;
        case "recordAcknowledgement":
          this.#onRecords(new Set([...item.value.usageIds, ...item.value.annotationIds]));
          break;
        case "drain":
          this.leaving = item.value;
          this.leavingUntil = item.value.deadline === undefined ? NEVER : now + milliseconds(item.value.deadline);
          break;
        case "sessionEnd":
          stream.end = item.value;
          break;
        default: // What a newer server says and this SDK does not know is passed over (R7).
      }
    }
  }

  /** Takes what a job says. */
  take(token: Uint8Array, said: Said, now: number): void {
    if (said.kind === "usage") {
      this.usage.push(kept(said.record.usageId, { case: "usage", value: { leaseToken: token, record: said.record } }));
      return;
    }
    const job = this.jobs.get(token);
    if (job === undefined || !job.isWorking) {
      return;
    }
    switch (said.kind) {
      case "finished":
        this.#finish(job, said.report);
        break;
      case "log":
        this.#log(job, said, now);
        break;
      case "progress":
        job.progress = said.progress;
        break;
      case "annotation":
        job.annotations.push(
          kept(said.entry.annotationId, { case: "annotation", value: { leaseToken: token, annotation: said.entry } }),
        );
        break;
    }
  }

  /** Keeps a report until it is acknowledged; annotations that the server may not have ride in it. */
  keepReport(job: HeldJob, report: Report): void {
    const told = this.terms === undefined ? report : fittedReport(report, this.terms);
    let room = IN_REPORT_BYTES_MAX;
    for (const record of job.annotations) {
      const entry = record.item.item.case === "annotation" ? record.item.item.value.annotation : undefined;
      room -= entry === undefined ? 0 : toBinary(AnnotationEntrySchema, entry).length;
      if (entry === undefined || room < 0 || told.annotations.length === IN_REPORT_MAX) {
        break;
      }
      told.annotations.push(entry);
      record.inReport = true;
    }
    job.report = told;
    job.isReportSent = false;
    job.progress = undefined;
  }

  /** Tells the server that a job is stopped, or that it cannot be. A directive ends with its stream. */
  directiveDone(leaseToken: Uint8Array, stopped: boolean): void {
    this.stream?.done.push(create(DirectiveDoneSchema, { leaseToken, stopped }));
  }

  #onWelcome(stream: WorkerStream, welcome: Welcome, now: number): void {
    this.sessionId = welcome.sessionId;
    this.terms = stream.terms = termsOf(welcome);
    this.#bucket.setRate(this.terms.logEntriesPerSecond, now);
  }

  #onOffer(stream: WorkerStream, offer: JobOffer, now: number): void {
    stream.creditsTold--;
    stream.acknowledgeAt = Math.min(stream.acknowledgeAt, now + ACKNOWLEDGE_WITHIN_MS);
    if (this.jobs.get(offer.leaseToken) !== undefined) {
      return; // It was only sent again (R34).
    }
    const refusal = this.#refusalOf(offer);
    const job = this.jobs.add(offer.leaseToken, `stage ${offer.stageId} of run ${offer.runId}`);
    if (refusal === undefined) {
      this.host.startJob(offer);
    } else {
      job.isWorking = false;
      this.keepReport(job, returnedReport(offer.leaseToken, refusal[0], refusal[1], false));
    }
  }

  #refusalOf(offer: JobOffer): [ReturnReason, string] | undefined {
    if (this.drain !== undefined) {
      return [ReturnReason.DRAINING, "the worker ends"];
    }
    if (offer.kind !== JobKind.EXECUTE && offer.kind !== JobKind.CHECK) {
      return [ReturnReason.UNKNOWN_JOB, `this SDK does not know jobs of kind ${offer.kind}`];
    }
    if (!this.host.knows(offer)) {
      const where = `${offer.workflowName} version ${offer.workflowVersion}`;
      return [ReturnReason.UNKNOWN_JOB, `this worker does not have stage ${offer.stageId} of ${where}`];
    }
    return this.jobs.freeSlots > 0
      ? undefined
      : [ReturnReason.NO_FREE_SLOT, `all ${this.jobs.slots} slots are taken`];
  }

  #onAcknowledgement(told: ReportAcknowledgement): void {
    const job = this.jobs.get(told.leaseToken);
    if (job?.report === undefined) {
      return;
    }
    if (told.disposition === ReportDisposition.REFUSED) {
      this.host.warn(`the report of ${job.title} was refused: ${told.error?.message ?? ""}`);
    }
    job.report = undefined;
    if (!job.isWorking || job.isCutOff) {
      this.jobs.forget(job);
    }
  }

  #onDirective(told: Directive, now: number): void {
    if (told.action !== DirectiveAction.STOP) {
      return;
    }
    const job = this.jobs.get(told.leaseToken);
    if (job === undefined || !job.isWorking) {
      this.directiveDone(told.leaseToken, true);
      return;
    }
    const isTold = job.stop !== undefined;
    job.stop = "directive";
    job.cutOffAt = now + (told.deadline === undefined ? STOP_WITHIN_MS : milliseconds(told.deadline));
    job.isCutOff = false;
    if (!isTold) {
      this.host.stopJob(job.token, told.message || (StopReason[told.reason] ?? "the server wants it stopped"));
    }
  }

  #onVerdict(told: HeldLeaseVerdict): void {
    const job = this.jobs.get(told.leaseToken);
    if (job === undefined) {
      return;
    }
    if (told.verdict === LeaseVerdict.DROP) {
      this.#drop(job, "another delivery of the job counts, or the run has ended");
    } else if (told.verdict === LeaseVerdict.ALREADY_RECORDED) {
      this.#drop(job, "the job was reported before");
    } else {
      job.awaitsVerdict = false;
    }
  }

  #onItemError(told: ItemError): void {
    const job = this.jobs.get(told.leaseToken);
    if (told.error?.reason === ErrorReason.LEASE_SUPERSEDED) {
      if (job?.isWorking === true && job.stop === undefined) {
        this.#drop(job, "the lease is not live any more");
      }
      return;
    }
    this.host.warn(`the server refused an item: ${ErrorReason[told.error?.reason ?? 0]}: ${told.error?.message ?? ""}`);
    const isRefused = (record: KeptRecord) =>
      record.frame !== 0 && record.frame === Number(told.frameSequence) && record.index === told.itemIndex;
    this.#forgetRecords(isRefused); // It would be refused again (R93).
  }

  #onRecords(ids: Set<string>): void {
    this.#forgetRecords((record) => ids.has(record.id));
  }

  #forgetRecords(isGone: (record: KeptRecord) => boolean): void {
    this.usage = this.usage.filter((record) => !isGone(record));
    for (const job of this.jobs.all()) {
      job.annotations = job.annotations.filter((record) => !isGone(record));
    }
  }

  /** The lease is gone: stop the work, and owe nothing for it. */
  #drop(job: HeldJob, reason: string): void {
    if (!job.isWorking) {
      this.jobs.forget(job);
      return;
    }
    const isTold = job.stop !== undefined;
    job.report = undefined;
    job.stop = "dropped";
    job.cutOffAt = NEVER;
    job.awaitsVerdict = false;
    if (!isTold) {
      this.host.stopJob(job.token, reason);
    }
  }

  #finish(job: HeldJob, report: Report | undefined): void {
    job.isWorking = false;
    if (job.stop === "directive" || job.stop === "dropped") {
      if (job.stop === "directive" && !job.isCutOff) {
        this.directiveDone(job.token, true);
      }
      this.jobs.forget(job);
    } else if (!job.isCutOff) {
      const stopped = "it was stopped before its end";
      this.keepReport(job, report ?? returnedReport(job.token, ReturnReason.DRAINING, stopped, true));
    } else if (job.report === undefined) {
      this.jobs.forget(job);
    }
  }

  /** Takes a log line; those beyond the server's rate are dropped and counted (R90). */
  #log(job: HeldJob, { entry }: Said & { kind: "log" }, now: number): void {
    if (this.terms === undefined) {
      return;
    }
    if (this.#bucket.take(now) && job.logs.length < BUFFERED_ENTRIES_MAX) {
      entry.message = cut(entry.message, this.terms.logMessageBytesMax);
      job.logs.push(entry);
    } else {
      job.droppedLogs++;
    }
    if (this.stream !== undefined) {
      this.stream.logsAt = Math.min(this.stream.logsAt, now + LOGS_WITHIN_MS);
    }
  }
}

type ItemInit = NonNullable<NonNullable<Parameters<typeof create<typeof WorkerItemSchema>>[1]>["item"]>;

function kept(id: string, item: ItemInit): KeptRecord {
  return { id, item: create(WorkerItemSchema, { item }), frame: 0, index: 0, inReport: false };
}
