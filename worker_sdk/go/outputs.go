package stageline

import (
	"context"
	"encoding/json"
	"fmt"

	pb "stageline/sdk/gen/stageline/v1"
)

// fetchOutputs fetches outputs of earlier stages, from a job's goroutine (R42).
func (s *session) fetchOutputs(ctx context.Context, token []byte, ids []string) (map[string]json.RawMessage, error) {
	found := map[string]json.RawMessage{}
	for len(ids) > 0 {
		response, err := s.fetchSome(ctx, token, ids)
		if err != nil {
			return nil, err
		}
		if len(response.Outputs) == 0 {
			return nil, fmt.Errorf("the server did not send the outputs of %v", ids)
		}
		for id, payload := range response.Outputs {
			if err := s.payloads(token).resolve(ctx, payload); err != nil {
				return nil, err
			}
			found[id] = payload.GetJson()
		}
		ids = response.RemainingStageIds
	}
	return found, nil
}

func (s *session) fetchSome(ctx context.Context, token []byte, ids []string) (*pb.FetchOutputsResponse, error) {
	request := &pb.FetchOutputsRequest{Namespace: s.namespace, LeaseToken: token, StageIds: ids}
	var response *pb.FetchOutputsResponse
	err := repeated(ctx, func() error {
		connection, err := s.channel()
		if err != nil {
			return err
		}
		call, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		response, err = pb.NewWorkerServiceClient(connection).FetchOutputs(call, request)
		return err
	})
	return response, err
}

// payloads returns the calls that move large values of a job.
func (s *session) payloads(token []byte) payloadCalls {
	return payloadCalls{connection: s.channel, namespace: s.namespace, leaseToken: token}
}
