/** What a job says to its session. */

import type { AnnotationEntry } from "../gen/stageline/v1/annotation_pb.js";
import type { Report } from "../gen/stageline/v1/report_pb.js";
import type { LogEntry, StageProgress } from "../gen/stageline/v1/run_pb.js";
import type { UsageRecord } from "../gen/stageline/v1/usage_pb.js";
import { NEVER } from "./time.js";

export type Said =
  | { kind: "log"; entry: LogEntry }
  | { kind: "progress"; progress: StageProgress }
  | { kind: "annotation"; entry: AnnotationEntry }
  | { kind: "usage"; record: UsageRecord }
  /** Local work has ended; the report is undefined when it was stopped before its end. */
  | { kind: "finished"; report: Report | undefined };

/** A bucket that fills at the server's rate of log lines, and holds what one second gives (R90). */
export class LogBucket {
  #perSecond = 0;
  #level = 0;
  #at = 0;

  setRate(perSecond: number, now: number): void {
    if (this.#perSecond !== perSecond) {
      this.#perSecond = this.#level = perSecond;
      this.#at = now;
    }
  }

  take(now: number): boolean {
    if (this.#perSecond === NEVER) {
      return true;
    }
    this.#level = Math.min(this.#perSecond, this.#level + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
    if (this.#level < 1) {
      return false;
    }
    this.#level -= 1;
    return true;
  }
}
