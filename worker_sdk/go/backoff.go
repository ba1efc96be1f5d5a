package stageline

import (
	"math/rand/v2"
	"time"
)

const (
	backoffFirst   = 200 * time.Millisecond
	backoffLongest = 30 * time.Second
)

// backoff gives waits between tries: random between zero and a bound that doubles with every try (full jitter, R62).
type backoff struct{ tries int }

// next returns the next wait; a bound of more than zero lowers the longest one for this time.
func (b *backoff) next(atMost time.Duration) time.Duration {
	bound := backoffLongest
	if b.tries < 30 {
		bound = min(bound, backoffFirst<<b.tries)
	}
	b.tries++
	if atMost > 0 {
		bound = min(bound, atMost)
	}
	return rand.N(bound + 1)
}

func (b *backoff) reset() { b.tries = 0 }
