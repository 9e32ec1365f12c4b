package apidocs

import "strings"

// span is a run of text in a paragraph.
type span struct {
	Text string
	Code bool
}

// prose divides text into paragraphs at empty lines, and these into plain text
// and what stands between backticks. An unpaired backtick is plain text.
func prose(text string) [][]span {
	var paragraphs [][]span
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for block := range strings.SplitSeq(text, "\n\n") {
		block = strings.TrimSpace(block)
		if block == "" {
			continue
		}
		parts := strings.Split(block, "`")
		var spans []span
		for i, p := range parts {
			last := i == len(parts)-1
			switch {
			case i%2 == 1 && last:
				spans = append(spans, span{Text: "`" + p})
			case p != "":
				spans = append(spans, span{Text: p, Code: i%2 == 1})
			}
		}
		paragraphs = append(paragraphs, spans)
	}
	return paragraphs
}
