"""The command kernel of Stageline: decides, applies and stores, and knows no transport."""
