"""What makes a row part of one person's history."""
