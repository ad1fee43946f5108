"""Tables: of results, of weight searches, of methods and networks."""
