"""What a trained network is good for elsewhere: fine-tuning and distillation."""
