package sqs

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// incoming is a message with its body at hand, or with why it cannot be had.
type incoming struct {
	types.Message
	object  *object
	refused error
}

// pointers are the names under which the extended clients write where a body lies.
var pointers = []string{"software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"}

// pointerIn reads the pointer that a text is: ["<name>", {"s3BucketName": …, "s3Key": …}].
func pointerIn(text string) *object {
	if len(text) > 4096 || !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), `["`) {
		return nil
	}
	var parts [][]byte
	if err := rawjson.Array([]byte(text), func(v []byte) bool { parts = append(parts, v); return len(parts) < 3 }); err != nil || len(parts) != 2 {
		return nil
	}
	bucket, key := member(parts[1], "s3BucketName"), member(parts[1], "s3Key")
	if !slices.Contains(pointers, rawjson.Text(parts[0])) || bucket == "" || key == "" {
		return nil
	}
	return &object{bucket: bucket, key: key}
}

// member gives a member of an object that is a string, "" where it has none.
func member(object []byte, name string) string {
	v, ok := rawjson.Get(object, name)
	if !ok || rawjson.KindOf(v) != rawjson.KindString {
		return ""
	}
	return rawjson.Text(v)
}

// pointerOf finds the pointer in a body: the body itself, or the message of an SNS notification.
func pointerOf(body string) (o *object, nested bool) {
	if o := pointerIn(body); o != nil {
		return o, false
	}
	if !strings.Contains(body, "S3Pointer") {
		return nil, false
	}
	if member([]byte(body), "Type") != "Notification" {
		return nil, false
	}
	o = pointerIn(member([]byte(body), "Message"))
	return o, o != nil
}

// bodies fetches the bodies that lie elsewhere. A message whose body cannot be had now goes back to the queue, and with it
// those behind it in its group.
func (s *Source) bodies(ctx context.Context, messages []types.Message) []incoming {
	out := make([]incoming, len(messages))
	var failed []error
	var fetching sync.WaitGroup
	for i := range messages {
		out[i].Message = messages[i]
		body := text(messages[i].Body)
		o, nested := pointerOf(body)
		if o == nil || s.cfg.S3.Mode == keepPointers {
			continue
		}
		out[i].object = o
		if failed == nil {
			failed = make([]error, len(messages))
		}
		fetching.Go(func() {
			content, err := s.objects.fetch(ctx, o)
			switch {
			case err == nil:
				whole := string(content)
				if nested {
					with, setErr := rawjson.Set([]byte(body), []string{"Message"}, event.Quote(whole))
					if setErr != nil { // pointerOf has read it there
						out[i].refused = event.PoisonAs(event.CodeBody, setErr)
						return
					}
					whole = string(with)
				}
				out[i].Body = &whole
			case event.IsPoison(err):
				out[i].refused, out[i].object = err, nil
			default:
				failed[i] = err
			}
		})
	}
	fetching.Wait()
	return s.sortOut(out, failed)
}

// sortOut gives back what cannot be had now, and what waits behind it.
func (s *Source) sortOut(out []incoming, failed []error) []incoming {
	if !slices.ContainsFunc(failed, func(err error) bool { return err != nil }) {
		return out
	}
	kept := out[:0]
	behind := map[string]bool{} // groups
	for i := range out {
		m, err := &out[i], failed[i]
		receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
		group := m.Attributes["MessageGroupId"]
		switch waits := s.fifo && behind[group]; {
		case !waits && err == nil:
			kept = append(kept, *m)
		case !waits && s.last > 0 && receives >= s.last: // it would not come again
			m.refused, m.object = event.PoisonAs(event.CodeBody, err), nil
			kept = append(kept, *m)
		default:
			behind[group] = true
			if err != nil {
				s.objects.say(err)
			}
			s.settler.giveBack(text(m.ReceiptHandle), returnAfter(receives), nil)
		}
	}
	return kept
}
