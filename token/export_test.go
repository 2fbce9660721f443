package token

// Remembered is how many tokens the verifier remembers once its cache has done what is due.
func (v *Verifier) Remembered() int {
	v.memory.tokens.CleanUp()
	return v.memory.tokens.EstimatedSize()
}

// MaxTokenSize is the bound on a token's text.
const MaxTokenSize = maxTokenSize
