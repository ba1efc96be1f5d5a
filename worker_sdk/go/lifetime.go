package stageline

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "stageline/sdk/gen/stageline/v1"
)

// The shares of a drain's time: until jobs are told to stop, until those that go on are handed back all the same; the rest
// is for the server's answer.
const (
	drainStopShare   = 0.8
	drainCutOffShare = 0.95
)

// workerDrain is the times of the worker's own end (R80 to R82).
type workerDrain struct{ stopAt, cutOffAt, overAt time.Time }

func (d *workerDrain) message(now time.Time) *pb.Drain {
	return &pb.Drain{Deadline: durationpb.New(max(0, d.overAt.Sub(now))), Reason: "the worker ends"}
}

// beginDrain takes nothing new, and finishes or hands back what is held within a time. Another call may only shorten it.
func (c *core) beginDrain(within time.Duration, now time.Time) {
	share := func(part float64) time.Time { return now.Add(time.Duration(float64(within) * part)) }
	next := &workerDrain{share(drainStopShare), share(drainCutOffShare), share(1)}
	if c.drain == nil || next.overAt.Before(c.drain.overAt) {
		c.drain = next
	}
}

// isDrained tells whether the worker wants to end, and nothing is owed any more or the time for it is over.
func (c *core) isDrained(now time.Time) bool {
	if c.drain == nil {
		return false
	}
	owes := len(c.jobs.order) > 0 || len(c.usage) > 0 || (c.stream != nil && len(c.stream.done) > 0)
	return !owes || isDue(c.drain.overAt, now)
}

// tick does what is due.
func (c *core) tick(now time.Time) {
	if c.drain != nil && isDue(c.drain.stopAt, now) {
		for _, job := range c.jobs.all() {
			if job.working && job.stop == stopNone {
				job.stop, job.cutOffAt = stopDrain, c.drain.cutOffAt
				c.host.stopJob(job.token, "the worker ends")
			}
		}
	}
	c.cutOff(now)
	c.noticeSilence(now)
	c.leaveDrainingServer(now)
}

// nextTickAt returns when tick has something to do, if nothing happens before.
func (c *core) nextTickAt() time.Time {
	at := earliest(c.silentAt(), c.leasesLostAt(), c.leavingUntil)
	for _, job := range c.jobs.order {
		if !job.cutOff && job.working {
			at = earliest(at, job.cutOffAt)
		}
		if c.drain != nil && job.working && job.stop == stopNone {
			at = earliest(at, c.drain.stopAt)
		}
	}
	if c.drain != nil {
		at = earliest(at, c.drain.overAt)
	}
	return at
}

// cutOff gives up on work that was told to stop and goes on: a goroutine cannot be ended.
func (c *core) cutOff(now time.Time) {
	for _, job := range c.jobs.all() {
		if !job.working || job.cutOff || !isDue(job.cutOffAt, now) {
			continue
		}
		job.cutOff = true
		if job.stop == stopDirective {
			c.directiveDone(job.token, false)
		} else {
			message := "it could not be stopped"
			c.keepReport(job, returnedReport(job.token, pb.ReturnReason_RETURN_REASON_DRAINING, message, true))
		}
	}
}

// noticeSilence leaves a stream on which nothing was heard (R21), and stops work whose leases are lost (R22).
func (c *core) noticeSilence(now time.Time) {
	if isDue(c.silentAt(), now) {
		c.host.leaveStream("the server was silent for too long", nil, "")
	}
	if !isDue(c.leasesLostAt(), now) {
		return
	}
	c.heardAt = time.Time{}
	for _, job := range c.jobs.all() {
		if job.working && job.stop == stopNone {
			job.stop = stopLeaseLost
			c.host.warn("%s is stopped: the server was not heard for the session's timeout", job.title)
			c.host.stopJob(job.token, "the server was not heard for the session's timeout")
		}
	}
}

func (c *core) silentAt() time.Time {
	if c.stream == nil {
		return time.Time{}
	}
	if c.stream.terms == nil {
		return c.stream.openedAt.Add(c.welcomeWithin())
	}
	heardAt := c.heardAt
	if heardAt.Before(c.stream.openedAt) {
		heardAt = c.stream.openedAt
	}
	return heardAt.Add(c.stream.terms.sessionTimeout)
}

// welcomeWithin is no longer than the server waits for us: a later Welcome may offer jobs that were handed on since (R23).
func (c *core) welcomeWithin() time.Duration {
	if c.terms == nil {
		return welcomeWithin
	}
	return min(welcomeWithin, c.terms.sessionTimeout)
}

func (c *core) leasesLostAt() time.Time {
	if c.heardAt.IsZero() || c.terms == nil {
		return time.Time{}
	}
	return c.heardAt.Add(c.terms.sessionTimeout)
}

// leaveDrainingServer leaves a server that drains, once nothing is held or its time is over (R83, R84).
func (c *core) leaveDrainingServer(now time.Time) {
	if c.leaving == nil || c.stream == nil || (len(c.jobs.order) > 0 && !isDue(c.leavingUntil, now)) {
		return
	}
	drain := c.leaving
	c.leaving, c.leavingUntil = nil, time.Time{}
	c.host.leaveStream("the server drains", drain.ReconnectAfter, drain.ReconnectAddress)
}
