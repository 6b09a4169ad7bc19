package dynamofake

import "encoding/json"

type keyPart struct{ AttributeName, KeyType string }

func keys(parts []keyPart) (h, r string) {
	for _, p := range parts {
		if p.KeyType == "HASH" {
			h = p.AttributeName
		} else {
			r = p.AttributeName
		}
	}
	return h, r
}

func (s *Server) createTable(body []byte) (any, error) {
	in := read[struct {
		TableName              string
		KeySchema              []keyPart
		AttributeDefinitions   json.RawMessage
		StreamSpecification    json.RawMessage
		BillingMode            string
		ProvisionedThroughput  json.RawMessage
		GlobalSecondaryIndexes []struct {
			IndexName  string
			KeySchema  []keyPart
			Projection json.RawMessage
		}
		Tags []struct{ Key, Value string }
	}](body)
	if s.tables[in.TableName] != nil {
		return nil, refuse("ResourceInUseException", "Table already exists: %s", in.TableName)
	}
	t := &table{rows: map[string]map[string]item{}, indexes: map[string]index{}, billing: in.BillingMode, provision: in.ProvisionedThroughput, tags: map[string]string{}}
	t.hash, t.sort = keys(in.KeySchema)
	t.attributes, t.stream = in.AttributeDefinitions, in.StreamSpecification
	if t.hash == "" {
		return nil, validation("No Hash Key specified in schema")
	}
	for _, g := range in.GlobalSecondaryIndexes {
		h, r := keys(g.KeySchema)
		t.indexes[g.IndexName] = index{h, r, g.Projection}
	}
	for _, tag := range in.Tags {
		t.tags[tag.Key] = tag.Value
	}
	s.tables[in.TableName] = t
	return map[string]any{"TableDescription": t.describe(in.TableName)}, nil
}

func (t *table) describe(name string) map[string]any {
	schema := func(h, r string) []keyPart {
		out := []keyPart{{h, "HASH"}}
		if r != "" {
			out = append(out, keyPart{r, "RANGE"})
		}
		return out
	}
	var indexes []map[string]any
	for n, x := range t.indexes {
		indexes = append(indexes, map[string]any{"IndexName": n, "KeySchema": schema(x.hash, x.sort), "IndexStatus": "ACTIVE", "Projection": x.projection})
	}
	out := map[string]any{
		"TableName": name, "TableStatus": "ACTIVE", "KeySchema": schema(t.hash, t.sort), "GlobalSecondaryIndexes": indexes,
		"TableArn": "arn:aws:dynamodb:eu-west-1:000000000000:table/" + name,
	}
	if t.attributes != nil {
		out["AttributeDefinitions"] = t.attributes
	}
	if t.stream != nil {
		out["StreamSpecification"] = t.stream
	}
	if len(t.provision) > 0 {
		out["ProvisionedThroughput"] = t.provision
	}
	if t.billing != "" {
		out["BillingModeSummary"] = map[string]any{"BillingMode": t.billing}
	}
	return out
}

func (s *Server) describeTable(body []byte) (any, error) {
	in := read[struct{ TableName string }](body)
	t, err := s.table(in.TableName)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Table": t.describe(in.TableName)}, nil
}

func (s *Server) deleteTable(body []byte) (any, error) {
	in := read[struct{ TableName string }](body)
	t, err := s.table(in.TableName)
	if err != nil {
		return nil, err
	}
	delete(s.tables, in.TableName)
	return map[string]any{"TableDescription": t.describe(in.TableName)}, nil
}

func (s *Server) listTags(body []byte) (any, error) {
	in := read[struct{ ResourceArn string }](body)
	t, err := s.table(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags := []map[string]string{}
	for k, v := range t.tags {
		tags = append(tags, map[string]string{"Key": k, "Value": v})
	}
	return map[string]any{"Tags": tags}, nil
}

// describeBackups says that nothing is backed up.
func (s *Server) describeBackups(body []byte) (any, error) {
	in := read[struct{ TableName string }](body)
	if _, err := s.table(in.TableName); err != nil {
		return nil, err
	}
	return map[string]any{"ContinuousBackupsDescription": map[string]any{
		"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": map[string]any{"PointInTimeRecoveryStatus": "DISABLED"},
	}}, nil
}
