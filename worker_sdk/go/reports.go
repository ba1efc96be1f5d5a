package stageline

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "stageline/sdk/gen/stageline/v1"
)

// frameReserveBytes is what a frame holds besides one report.
const frameReserveBytes = 256

func returnedReport(token []byte, reason pb.ReturnReason, message string, started bool) *pb.Report {
	return &pb.Report{LeaseToken: token, Outcome: &pb.Report_Returned{Returned: &pb.Returned{
		Reason: reason, Message: message, Started: started,
	}}}
}

// fitted returns a report within the server's limits: what is too large becomes a failure that says so (R55).
func fitted(report *pb.Report, limits terms) *pb.Report {
	if what, payload := payloadOf(report); len(payload.GetJson()) > limits.inlinePayloadBytesMax {
		return tooLarge(report, what, len(payload.GetJson()), limits.payloadBytesMax)
	}
	if size, limit := proto.Size(report), limits.frameBytesMax-frameReserveBytes; size > limit {
		return tooLarge(report, "report", size, limit)
	}
	return report
}

func payloadOf(report *pb.Report) (string, *pb.Payload) {
	switch outcome := report.Outcome.(type) {
	case *pb.Report_Completed:
		return "output", outcome.Completed.Output
	case *pb.Report_Suspended:
		return "state of the suspension", outcome.Suspended.State
	case *pb.Report_StillWaiting:
		return "state of the suspension", outcome.StillWaiting.State
	}
	return "", nil
}

func tooLarge(report *pb.Report, what string, size, limit int) *pb.Report {
	final := false
	return &pb.Report{
		LeaseToken:     report.LeaseToken,
		ActiveDuration: report.ActiveDuration,
		Outcome: &pb.Report_Failed{Failed: &pb.Failed{Error: &pb.StageError{
			Kind: pb.FailureKind_FAILURE_KIND_INVALID_OUTPUT,
			Type: "PAYLOAD_TOO_LARGE",
			Message: fmt.Sprintf("the stage's %s has %d bytes; the limit is %d. Store large data elsewhere, and return where it is",
				what, size, limit),
			Retryable: &final,
		}}},
	}
}
