package sqs

import "github.com/leatdev/leat/config"

// Permissions implements config.Permitted.
func (c Config) Permissions() []config.Statement {
	return []config.Statement{config.Allow("SendToTheQueue", []string{"sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SendMessage"}, c.QueueARN(c.Queue))}
}
