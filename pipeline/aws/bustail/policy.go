package bustail

// Policy is the least IAM policy for a watch. PutEvents is for Options.Probe alone; the lists are for Sweep, without which
// a watch works too.
const Policy = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "LeatTailRule",
      "Effect": "Allow",
      "Action": ["events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:DeleteRule", "events:TagResource", "events:ListTagsForResource"],
      "Resource": ["arn:aws:events:*:*:rule/leat-tail-*", "arn:aws:events:*:*:rule/*/leat-tail-*"]
    },
    {
      "Sid": "LeatTailQueue",
      "Effect": "Allow",
      "Action": ["sqs:CreateQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:ListQueueTags", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:DeleteQueue"],
      "Resource": "arn:aws:sqs:*:*:leat-tail-*"
    },
    {
      "Sid": "LeatTailLook",
      "Effect": "Allow",
      "Action": ["events:DescribeEventBus", "events:ListEventBuses", "events:ListRules", "sqs:ListQueues"],
      "Resource": "*"
    },
    {
      "Sid": "LeatTailProbe",
      "Effect": "Allow",
      "Action": "events:PutEvents",
      "Resource": "arn:aws:events:*:*:event-bus/*",
      "Condition": {"StringEquals": {"events:source": "leat.tail"}}
    }
  ]
}`
