package stageline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "stageline/sdk/gen/stageline/v1"
)

// fetchRetryFor is how long a job waits for a server that is away, before its attempt fails.
const fetchRetryFor = time.Minute

// fetchOutputs fetches outputs of earlier stages, from a job's goroutine (R42).
func (s *session) fetchOutputs(ctx context.Context, token []byte, ids []string) (map[string]json.RawMessage, error) {
	found := map[string]json.RawMessage{}
	giveUpAt := time.Now().Add(fetchRetryFor)
	var tries backoff
	for len(ids) > 0 {
		response, err := s.fetchSome(ctx, token, ids)
		if code := status.Code(err); (code == codes.Unavailable || code == codes.Canceled) && time.Now().Before(giveUpAt) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(tries.next(0)):
				continue
			}
		}
		if err != nil {
			return nil, apiError(err)
		}
		for id, payload := range response.Outputs {
			if payload.GetReference() != nil {
				return nil, fmt.Errorf("the output of stage %q is stored apart, which this version of the SDK cannot fetch", id)
			}
			found[id] = payload.GetJson()
		}
		if len(response.Outputs) == 0 {
			return nil, fmt.Errorf("the server did not send the outputs of %v", ids)
		}
		ids = response.RemainingStageIds
	}
	return found, nil
}

func (s *session) fetchSome(ctx context.Context, token []byte, ids []string) (*pb.FetchOutputsResponse, error) {
	connection, err := s.channel()
	if err != nil {
		return nil, err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := &pb.FetchOutputsRequest{Namespace: s.namespace, LeaseToken: token, StageIds: ids}
	return pb.NewWorkerServiceClient(connection).FetchOutputs(call, request, grpc.WaitForReady(false))
}
