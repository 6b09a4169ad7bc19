// Package feed is what brings events into a queue: it looks at the queue's policy and dead-letter queues, and sets them up
// where a source is told to provision.
//
// What leat makes it tags with the pipeline's name. It changes only what carries that tag, or what it is told to adopt,
// and then adds what is missing: settings that somebody chose stay. All of it can be repeated, by several replicas at
// a time.
package feed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws"
)

// Tag is the key of the tag that names the pipeline that something belongs to.
const Tag = "leat:pipeline"

// Owner says on whose behalf things are made and changed.
type Owner struct {
	Pipeline string
	// Adopt: what exists without the tag is taken over.
	Adopt bool
}

// Tags are those of what is made.
func (o Owner) Tags() map[string]string { return map[string]string{Tag: o.Pipeline} }

// Check says why something that exists may not be changed: its tags are not the owner's, and it is not to be adopted.
// Adopted reports that the tag is yet to be written.
func (o Owner) Check(what string, tags map[string]string) (adopted bool, err error) {
	switch of, tagged := tags[Tag]; {
	case tagged && of == o.Pipeline:
		return false, nil
	case o.Adopt:
		return true, nil
	case tagged:
		return false, &ForeignError{fmt.Sprintf("%s belongs to the pipeline %s of leat (tag %s) and is not as this one needs it: name another, or set adopt: true to take it over", what, of, Tag)}
	}
	return false, &ForeignError{fmt.Sprintf("%s exists, is not as it must be, and is not leat's (it has no tag %s): set adopt: true to let leat change it", what, Tag)}
}

// ForeignError is the error of something that exists, must be changed, and is somebody else's. It is fs.ErrPermission.
type ForeignError struct{ words string }

func (e *ForeignError) Error() string { return e.words }

// Is implements errors.Is.
func (e *ForeignError) Is(target error) bool { return target == fs.ErrPermission }

// Queue is a queue as it is found.
type Queue struct {
	Name, URL, ARN string
	Attributes     map[string]string
}

// Policy gives the queue's policy.
func (q *Queue) Policy() string { return q.Attributes["Policy"] }

// Queues looks at queues and makes them.
type Queues struct {
	Client   *aws.SQS
	Settings aws.Settings
	Owner    Owner
}

// Look finds a queue by name, URL or ARN. It gives nil where there is none.
func (q *Queues) Look(ctx context.Context, name string) (*Queue, error) {
	at, err := aws.ParseQueue(name)
	if err != nil {
		return nil, err
	}
	found := &Queue{Name: at.Name, URL: at.URL}
	if found.URL == "" {
		in := &sqs.GetQueueUrlInput{QueueName: &at.Name}
		if at.Account != "" {
			in.QueueOwnerAWSAccountId = &at.Account
		}
		got, err := aws.Retry(ctx, q.Settings, func() (*sqs.GetQueueUrlOutput, error) { return q.Client.GetQueueUrl(ctx, in) })
		if err != nil {
			return nil, missing(err, "queue "+name, "sqs:GetQueueUrl")
		}
		found.URL = awssdk.ToString(got.QueueUrl)
	}
	got, err := aws.Retry(ctx, q.Settings, func() (*sqs.GetQueueAttributesOutput, error) {
		return q.Client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &found.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	})
	if err != nil {
		return nil, missing(err, "queue "+name, "sqs:GetQueueAttributes")
	}
	found.Attributes = got.Attributes
	found.ARN = got.Attributes["QueueArn"]
	return found, nil
}

// missing is nil where the thing does not exist, else the error in words.
func missing(err error, what, need string) error {
	if aws.KindOf(err) == aws.Missing {
		return nil
	}
	return aws.AtStart(err, what, need)
}

// Spec is a queue as it must be.
type Spec struct {
	Name       string
	Visibility time.Duration // of a new queue; 0: 60 s
	// Dead is the ARN of the dead-letter queue, "" for none; Receives is how often a message is handed out before.
	Dead     string
	Receives int
	// Deduplicate: a FIFO queue that tells repeats by their bodies.
	Deduplicate bool
}

// retention is how long the queues that leat makes keep messages: as long as SQS can.
const retention = 14 * 24 * time.Hour

// Ensure makes a queue where it is missing, and adds the dead-letter queue to one that has none.
func (q *Queues) Ensure(ctx context.Context, s Spec) (*Queue, error) {
	found, err := q.Look(ctx, s.Name)
	if err != nil {
		return nil, err
	}
	at, err := aws.ParseQueue(s.Name)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return q.create(ctx, at, s)
	}
	change := map[string]string{}
	if s.Dead != "" && found.Attributes["RedrivePolicy"] == "" {
		change["RedrivePolicy"] = s.redrive()
	}
	if s.Deduplicate && at.FIFO() && found.Attributes["ContentBasedDeduplication"] != "true" {
		change["ContentBasedDeduplication"] = "true"
	}
	return found, q.set(ctx, found, change)
}

func (s Spec) redrive() string {
	out, _ := json.Marshal(map[string]any{"deadLetterTargetArn": s.Dead, "maxReceiveCount": strconv.Itoa(s.Receives)}) // texts always marshal
	return string(out)
}

func (q *Queues) create(ctx context.Context, at aws.Queue, s Spec) (*Queue, error) {
	if s.Visibility == 0 {
		s.Visibility = time.Minute
	}
	attributes := map[string]string{
		"MessageRetentionPeriod": strconv.Itoa(int(retention / time.Second)), "VisibilityTimeout": strconv.Itoa(int(s.Visibility / time.Second)),
		"SqsManagedSseEnabled": "true",
	}
	if at.FIFO() {
		attributes["FifoQueue"] = "true"
		if s.Deduplicate {
			attributes["ContentBasedDeduplication"] = "true"
		}
	}
	if s.Dead != "" {
		attributes["RedrivePolicy"] = s.redrive()
	}
	_, err := aws.Retry(ctx, q.Settings, func() (*sqs.CreateQueueOutput, error) {
		return q.Client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &at.Name, Attributes: attributes, Tags: q.Owner.Tags()})
	})
	if err != nil && aws.Code(err) != "QueueNameExists" { // another replica was faster: it made the same
		return nil, aws.AtStart(err, "queue "+at.Name, "sqs:CreateQueue")
	}
	found, err := q.Look(ctx, at.Name)
	if err == nil && found == nil {
		err = fmt.Errorf("queue %s: made, and not there: %w", at.Name, fs.ErrNotExist)
	}
	return found, err
}

// Allow merges a statement into a queue's policy.
func (q *Queues) Allow(ctx context.Context, found *Queue, s Statement) error {
	if Allows(found.Policy(), s.Principal["Service"], s.Resource, s.Condition["ArnEquals"]["aws:SourceArn"]) {
		return nil
	}
	merged, changed, err := Merge(found.Policy(), s)
	if err != nil || !changed {
		return err
	}
	return q.set(ctx, found, map[string]string{"Policy": merged})
}

// Owned says whether a queue may be changed, and whether it is yet to be tagged.
func (q *Queues) Owned(ctx context.Context, found *Queue) (adopted bool, err error) {
	tags, err := aws.Retry(ctx, q.Settings, func() (*sqs.ListQueueTagsOutput, error) {
		return q.Client.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &found.URL})
	})
	if err != nil {
		return false, aws.AtStart(err, "queue "+found.Name, "sqs:ListQueueTags")
	}
	return q.Owner.Check("queue "+found.Name, tags.Tags)
}

// set changes attributes of a queue that may be changed.
func (q *Queues) set(ctx context.Context, found *Queue, change map[string]string) error {
	if len(change) == 0 {
		return nil
	}
	adopted, err := q.Owned(ctx, found)
	if err != nil {
		return err
	}
	if _, err := aws.Retry(ctx, q.Settings, func() (*sqs.SetQueueAttributesOutput, error) {
		return q.Client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &found.URL, Attributes: change})
	}); err != nil {
		return aws.AtStart(err, "queue "+found.Name, "sqs:SetQueueAttributes")
	}
	if found.Attributes == nil {
		found.Attributes = map[string]string{}
	}
	maps.Copy(found.Attributes, change)
	if !adopted {
		return nil
	}
	_, err = aws.Retry(ctx, q.Settings, func() (*sqs.TagQueueOutput, error) {
		return q.Client.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &found.URL, Tags: q.Owner.Tags()})
	})
	if err != nil {
		return aws.AtStart(err, "queue "+found.Name, "sqs:TagQueue")
	}
	return nil
}

// GoneError is the error of what must be there and is not, in words. It is fs.ErrNotExist.
type GoneError struct{ Words string }

func (e *GoneError) Error() string { return e.Words }

// Is implements errors.Is.
func (e *GoneError) Is(target error) bool { return target == fs.ErrNotExist }

// IsDenied reports whether an error says that AWS does not let us look or change.
func IsDenied(err error) bool {
	var foreign *ForeignError
	return err != nil && !errors.As(err, &foreign) && errors.Is(err, fs.ErrPermission)
}

// short is a digest of a few characters, that tells names apart that look alike without their signs.
func short(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:3])
}

// Beside names another queue by the side of one: orders-failed, or orders-failed.fifo.
func Beside(queue, what string, fifo bool) string {
	at, err := aws.ParseQueue(queue)
	name := at.Name
	if err != nil {
		name = queue
	}
	suffix := ""
	if at.FIFO() {
		name = name[:len(name)-len(".fifo")]
	}
	if fifo {
		suffix = ".fifo"
	}
	return Cut(name, 80-len(suffix)-len(what)-1) + "-" + what + suffix
}

// Cut makes a name as short as it must be, and still another's than that of one with the same beginning.
func Cut(name string, most int) string {
	if len(name) <= most {
		return name
	}
	return name[:most-7] + "-" + short(name)
}
