package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/leatdev/leat/config"
)

// Template is a queue as CloudFormation and Terraform write it: what Ensure and Allow make.
type Template struct {
	Name       string
	Visibility time.Duration // 0: 60 s
	Dead       string        // name of the dead-letter queue; "": none
	Receives   int
	// Service may send to it for Source, a CloudFormation or Terraform expression; "": nobody.
	Service     string
	Deduplicate bool
}

var between = regexp.MustCompile(`[^A-Za-z0-9]+`)

// LogicalID makes a CloudFormation name of a queue's or rule's.
func LogicalID(name string) string {
	var b strings.Builder
	for _, w := range between.Split(name, -1) {
		if w != "" {
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}

// Label makes a Terraform name of a queue's or rule's.
func Label(name string) string {
	s := strings.ToLower(between.ReplaceAllString(name, "_"))
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		s = "q" + s
	}
	return s
}

func (t Template) visibility() int {
	if t.Visibility == 0 {
		return 60
	}
	return int(t.Visibility / time.Second)
}

// CloudFormation gives the queue's resources; source is an expression for the ARN that may send.
func (t Template) CloudFormation(pipeline, source string) string {
	var b strings.Builder
	id := LogicalID(t.Name) + "Queue"
	fmt.Fprintf(&b, "  %s:\n    Type: AWS::SQS::Queue\n    Properties:\n      QueueName: %s\n", id, t.Name)
	if strings.HasSuffix(t.Name, ".fifo") {
		fmt.Fprintf(&b, "      FifoQueue: true\n")
		if t.Deduplicate {
			fmt.Fprintf(&b, "      ContentBasedDeduplication: true\n")
		}
	}
	fmt.Fprintf(&b, "      MessageRetentionPeriod: %d\n      VisibilityTimeout: %d\n      SqsManagedSseEnabled: true\n", int(retention/time.Second), t.visibility())
	if t.Dead != "" {
		fmt.Fprintf(&b, "      RedrivePolicy:\n        deadLetterTargetArn: !GetAtt %sQueue.Arn\n        maxReceiveCount: %d\n", LogicalID(t.Dead), t.Receives)
	}
	fmt.Fprintf(&b, "      Tags:\n        - { Key: \"%s\", Value: %q }\n", Tag, pipeline)
	if t.Service != "" {
		fmt.Fprintf(&b, `  %[1]sPolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref %[1]s]
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: { Service: %[2]s }
            Action: sqs:SendMessage
            Resource: !GetAtt %[1]s.Arn
            Condition: { ArnEquals: { aws:SourceArn: %[3]s } }
`, id, t.Service, source)
	}
	return b.String()
}

// Terraform gives the queue's blocks; source is an expression for the ARN that may send.
func (t Template) Terraform(pipeline, source string) string {
	var b strings.Builder
	label := Label(t.Name)
	fmt.Fprintf(&b, "resource \"aws_sqs_queue\" %q {\n  name                       = %q\n", label, t.Name)
	if strings.HasSuffix(t.Name, ".fifo") {
		fmt.Fprintf(&b, "  fifo_queue                 = true\n")
		if t.Deduplicate {
			fmt.Fprintf(&b, "  content_based_deduplication = true\n")
		}
	}
	fmt.Fprintf(&b, "  message_retention_seconds  = %d\n  visibility_timeout_seconds = %d\n  sqs_managed_sse_enabled    = true\n", int(retention/time.Second), t.visibility())
	if t.Dead != "" {
		fmt.Fprintf(&b, "  redrive_policy = jsonencode({\n    deadLetterTargetArn = aws_sqs_queue.%s.arn\n    maxReceiveCount     = %d\n  })\n", Label(t.Dead), t.Receives)
	}
	fmt.Fprintf(&b, "  tags = { %q = %q }\n}\n", Tag, pipeline)
	if t.Service != "" {
		fmt.Fprintf(&b, `
resource "aws_sqs_queue_policy" %[1]q {
  queue_url = aws_sqs_queue.%[2]s.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = %[3]q }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.%[2]s.arn
      Condition = { ArnEquals = { "aws:SourceArn" = %[4]s } }
    }]
  })
}
`, label, label, t.Service, source)
	}
	return b.String()
}

// Templates shows both forms of what a source needs, for people.
func Templates(c config.Deployed, pipeline string) string {
	return "CloudFormation:\n\nResources:\n" + c.CloudFormation(pipeline) + "\nTerraform:\n\n" + c.Terraform(pipeline)
}

// Compact writes a pattern on one line.
func Compact(pattern []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, pattern) != nil {
		return string(pattern)
	}
	return b.String()
}

// HCL writes a pattern as Terraform reads it: JSON, with what would start an interpolation escaped.
func HCL(pattern []byte) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(Compact(pattern))
}
