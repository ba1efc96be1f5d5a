/** Times and waits, in milliseconds of the monotonic clock. */

import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { DurationSchema } from "@bufbuild/protobuf/wkt";

export const NEVER = Number.POSITIVE_INFINITY;

/** Timers of Node count no further than this. */
export const TIMER_MAX_MS = 2 ** 31 - 1;

export function now(): number {
  return performance.now();
}

export function milliseconds(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

export function duration(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  const nanos = Math.round((ms - seconds * 1000) * 1e6);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos });
}

const FIRST_MS = 200;
const LONGEST_MS = 30_000;

/** Waits between tries: random between zero and a bound that doubles with every try (full jitter, R62). */
export class Backoff {
  #tries = 0;

  /** Returns the next wait in milliseconds. `atMostMs` lowers the longest one for this time. */
  next(atMostMs = NEVER): number {
    const bound = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#tries++, 30), atMostMs);
    return Math.random() * bound;
  }

  reset(): void {
    this.#tries = 0;
  }
}
