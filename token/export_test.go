package token

// MaxTokenSize is the bound on a token's text.
const MaxTokenSize = maxTokenSize
