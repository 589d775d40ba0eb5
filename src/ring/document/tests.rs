//! What a document keeps, and what is refused.
