//! eBay from recorded and made-up answers.
